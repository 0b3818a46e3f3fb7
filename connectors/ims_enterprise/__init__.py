"""IMS Enterprise 1.1 XML and IMS Enterprise Services 1.0: itslearning."""
