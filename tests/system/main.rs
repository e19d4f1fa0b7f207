//! What needs root, a container engine or a daemon of the system.
