"""Models packed for a machine that can fetch nothing: seeds in place of weights, and what another CPU made of them."""
