"""The three sources of metadata, each pure readers around the one ``Http`` port."""
