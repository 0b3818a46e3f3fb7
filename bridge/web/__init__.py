"""What the bridge shows of itself over HTTP: to look at, never to change, and never of a person."""
