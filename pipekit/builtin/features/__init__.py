"""What a network, and a classic detector, can hold on to: the stages ``features``, ``match`` and ``stability``."""
