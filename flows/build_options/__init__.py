"""Values of build options, each as docker's command line and bake files write it (util/buildflags in docker/buildx).

Strings are read here, once, and become the values that a BuildRequest holds. What docker buildx refuses raises
InvalidOption.
"""
