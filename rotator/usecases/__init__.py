"""What a person or the clock may ask for, one module each; command line and views sit above."""
