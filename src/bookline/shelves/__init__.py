"""Library files: the exports of reading sites and plain lists, as rows with an ISBN or a title."""
