"""Networks of the user's own: any torch.nn.Module, trained and measured as the stack is."""
