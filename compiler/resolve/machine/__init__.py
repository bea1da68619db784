"""This machine or a device of the catalog: CPU, GPU, installed packages, calibration."""
