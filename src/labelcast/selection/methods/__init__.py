"""Selection methods. A module here is a method: `k_centre` is ``k-centre``; see `registry`."""
