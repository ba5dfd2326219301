"""The commands of `scicow`, one module each: `add(commands)` describes it, and says what to call."""
