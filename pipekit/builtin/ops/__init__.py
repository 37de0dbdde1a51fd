"""The ops of the box, by subject: geometric, colour, texture, and how to combine them."""
