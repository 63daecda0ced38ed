"""See what a trained network looks at: every method takes a Keras model and returns a function of a batch of images."""
