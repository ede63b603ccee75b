"""The jitted step, the loop, optimizers, ray sampling, devices and processes, memory."""
