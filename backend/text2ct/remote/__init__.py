"""How a client talks to a service: numpy and requests only. `text2ct.client` is the door."""
