"""`ftc run rate`: people compare answers without knowing whose they are, on a page that this machine serves."""
