"""Peak memory of a planned run: by the trace's answers, or by the analytical estimate where there are none."""
