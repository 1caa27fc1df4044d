"""What a trained model is worth: representation + dataset -> flat dict of floats."""
