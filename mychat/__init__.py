"""mychat: build your own ChatGPT in your terminal."""

__version__ = "0.1.0"
