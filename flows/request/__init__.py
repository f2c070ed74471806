"""What is asked: one model behind the command line's options, the UI's form and a deployment's parameters."""
