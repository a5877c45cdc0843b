"""What is released: files that others can use, and the list of them."""
import pic_plugin.registry  # noqa: F401  (before the toolboxes: it has them imported quietly)
