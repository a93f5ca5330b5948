"""Those who answer, behind the port of models: any OpenAI-compatible endpoint, one of our own without weights, and the choice
between several. Owns no state but connections and what it learned of speed; never writes a key anywhere."""
