"""Built-in augmentation ops, by subject: geometric, colour, texture, and combinators."""
