"""Sections of the report, one file each; conf/section/ lists them."""
