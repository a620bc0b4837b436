"""How a person writes a program: values that read like mathematics, named functions, parametrizations."""
