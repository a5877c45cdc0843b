"""The equations of PIC as functions on tensors.  Nothing here imports more than torch."""
