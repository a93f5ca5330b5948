"""The sales module over HTTP. Owns addresses and parameters: parse, call the use case, answer; it holds no rule."""
