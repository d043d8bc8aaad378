"""The grammar of what a report finds: values that sentences, tables and files are made of."""
