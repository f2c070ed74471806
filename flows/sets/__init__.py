"""A set of images of one repository as one release: what is asked for, its order, its picture and report."""
