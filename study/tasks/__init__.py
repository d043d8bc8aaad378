"""Tasks, one a file: sequences with their loss, metric, memoryless baseline and the rule for
"solved".
"""
