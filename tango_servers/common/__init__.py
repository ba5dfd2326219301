"""What several device servers share: arguments, background work, State and Status, replies."""
