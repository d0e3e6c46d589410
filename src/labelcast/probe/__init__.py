"""From a pool to CoS-Low: confidence, pick, labels, coslow."""
