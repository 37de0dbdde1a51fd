"""The recipe `${component}`."""

${component} = [
    {"op": "hflip"},
    {"op": "rotate", "limit_deg": 10},
    {"op": "brightness", "p": 0.5},
]
"""Small rotations, flips and brightness changes: a list of ops as in a pipeline file."""
