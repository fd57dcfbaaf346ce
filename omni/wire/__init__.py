"""Pure codec between bytes or JSON and the events of omni.base."""
