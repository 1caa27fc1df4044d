"""What a trained model is worth: its outputs + dataset -> numbers, pictures, tables."""
