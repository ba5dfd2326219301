"""`scizoo doctor`: goes through a beamline, part by part. It only reads."""
