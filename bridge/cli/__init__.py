"""The command `skolebro`: every verb ends with a documented exit code and one clear sentence when it fails."""
