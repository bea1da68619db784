"""`ftc chat RUN --page`: a conversation with a run's model and its base, on a page that this machine serves."""
