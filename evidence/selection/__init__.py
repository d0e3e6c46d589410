"""Whether selection saves labels: measured scores of selected labels against random ones."""
