"""The flags of verbs whose modules take seconds to import; these import neither TensorFlow nor what holds it."""
