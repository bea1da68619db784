"""What each strategy does to a model that is loaded and frozen."""
