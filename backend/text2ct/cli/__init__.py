"""The command `text2ct`: one file a command, each only a door to the core."""
