"""The only part of the compiler that touches the world: files, hub, packages and devices become facts."""
