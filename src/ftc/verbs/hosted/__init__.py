"""`ftc launch PLAN --on together|openai`: a plan's training at a hosted service, created once whatever breaks."""
