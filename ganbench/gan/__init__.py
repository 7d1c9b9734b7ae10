"""What is trained, written for one GAN as its papers write it: losses, normalizations, networks, update rules."""
