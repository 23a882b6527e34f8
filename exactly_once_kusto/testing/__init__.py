"""Public tools for authors of sinks on the framework: ports in memory, crashes on purpose."""
