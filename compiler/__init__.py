"""From recipe to plan: reads the world once (`resolve`), then computes (`passes`, `budget`)."""
