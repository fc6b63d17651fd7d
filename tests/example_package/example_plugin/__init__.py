"""An architecture, a dataset and a listener, as a third party would ship them."""
