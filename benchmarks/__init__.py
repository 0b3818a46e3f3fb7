"""Speed as ratios: what the bridge takes against the bare work on the same data in the same run."""
